"""The worker on another machine's card, by way of a Ray cluster: needs the extra `ray`, and Linux."""
