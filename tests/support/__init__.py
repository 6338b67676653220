"""What tests share: real processes, started and stopped, and the yard they run."""
