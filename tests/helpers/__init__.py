"""What several test files share: ``from helpers.weights import random_weights``."""
