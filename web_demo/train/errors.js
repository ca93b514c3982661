/** Training cannot start or go on; the message is a sentence for the user. Any other error is a defect. */
export class TrainingError extends Error {
  name = 'TrainingError';
}

/** The stored training cannot be read or written. */
export class StorageError extends TrainingError {
  name = 'StorageError';
}

/** What is stored cannot be used: deleting it is all that helps. */
export class DamagedError extends StorageError {
  name = 'DamagedError';
}

/** There is no room left for what was to be stored. */
export class FullError extends StorageError {
  name = 'FullError';
}
