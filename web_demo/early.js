/** Starts the worker before the page's other modules are there: both then load at the same time. */
import { prepareThread } from './launch.js';

prepareThread();
