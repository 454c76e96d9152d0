"""What venues say and how to speak to them: text in, events out. Pure; used by feed, lab and cli."""
