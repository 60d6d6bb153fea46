"""Questions about what was stored, and the JSON API that answers them."""
