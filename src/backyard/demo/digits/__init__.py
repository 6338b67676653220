"""The digits job: reads handwritten digits from 8x8 images."""
