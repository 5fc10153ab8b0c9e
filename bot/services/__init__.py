"""The use cases, one module per noun; they know no platform."""
