"""What is promised under faults, hostile input and load, each with a proof that anyone can run.

`make soak` runs the long forms, `make soak ONLY=R6` one row; `make test` runs the short forms.
"""
