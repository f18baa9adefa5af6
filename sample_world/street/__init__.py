"""What stands around landmarks: plants, people, vehicles, street furniture, houses, ground."""
