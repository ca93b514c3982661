/** What whoever runs a network on a GPU may find. */

/** The GPU took the work away: the context or device is gone, or its memory ran out. */
export class BackendLost extends Error {
  name = 'BackendLost';
}

/** The device itself is gone, as after a computer's sleep: a fresh one may do the same work. */
export class DeviceLost extends BackendLost {}
