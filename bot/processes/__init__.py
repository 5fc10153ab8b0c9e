"""A child process that looks at people's pictures: bounded, told no secret, and it may die without harm."""
