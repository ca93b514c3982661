/** The training session's own thread. */

import { notify, serve } from '../../rpc.js';
import { TrainingError } from '../errors.js';
import { TrainingSession } from './session.js';
import { fitSize } from './timing.js';

const session = new TrainingSession(notify);

serve(
  {
    peek: () => session.peek(),
    adopt: (kept) => session.adopt(kept),
    proceed: (isMeant) => session.proceed(isMeant),
    start: (request) => session.start(request),
    stop: () => session.stop(),
    export: () => session.export(),
    keepNow: () => session.keepNow(),
    remove: () => session.remove(),
    fitSize: (preferred) => fitSize(preferred),
  },
  (error) => {
    // Other errors are defects; the page shows a sentence only.
    if (!(error instanceof TrainingError) && error.name !== 'ModelError') console.error(error);
  },
);
