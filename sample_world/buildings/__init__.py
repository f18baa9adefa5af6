"""Buildings: twelve kinds of landmark, ordinary houses, and the parts they share."""
