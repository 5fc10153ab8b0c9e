"""Messages that are owed to people: notices, cards, direct messages, deletions."""
