"""Small programs that measure one thing and print it as one line of JSON; each runs in a fresh process."""
