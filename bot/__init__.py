"""The front-end process: chats, use cases, ledger, dispatcher."""
