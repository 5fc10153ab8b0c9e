"""Load: many people at once, Telegram's limits, and the bot as a program of its own between them."""
