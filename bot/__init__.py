"""The front-end process: chats, use cases, database, dispatcher."""
