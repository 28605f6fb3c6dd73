"""Review by people: tasks, an append-only log of decisions, routing, agreement, and the page (`server`)."""
