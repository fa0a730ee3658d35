"""The engine process: the resident compiled models and the queue of what they are asked."""
