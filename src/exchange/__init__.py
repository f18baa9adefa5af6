"""Features and verified matches as files of other programs, and theirs as features."""
