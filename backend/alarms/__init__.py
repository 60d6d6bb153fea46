"""Rules that are checked every minute, the alarms that come of them, and who is told: docs/alarms.md."""
