"""What every room needs: errors, files written in one step, digests, locks, processes, signals."""
