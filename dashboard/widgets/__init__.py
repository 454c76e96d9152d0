"""Panels of the screen: pure functions from a snapshot to lines, and the widget that draws them."""
