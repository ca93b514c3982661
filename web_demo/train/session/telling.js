/** What a training tells of itself: figures for the view, lines for the log. */

import { LABELS } from '../../engine/backend.js';

/** @typedef {import('./step.js').Trainer} Trainer */
/** @typedef {import('./step.js').StepResult} StepResult */

/**
 * @param {Trainer} trainer
 * @param {StepResult} last
 * @param {number} stepTime milliseconds
 */
export function progressOf(trainer, { mae, perceptual, rate }, stepTime) {
  const { numTensors, numBytes } = trainer.tf.memory();
  return {
    step: trainer.step,
    totalSteps: trainer.totalSteps,
    epoch: trainer.epoch,
    skipped: trainer.skipped,
    mae,
    perceptual,
    rate,
    stepTime,
    remaining: stepTime * (trainer.totalSteps - trainer.step),
    tensors: numTensors,
    bytes: numBytes,
  };
}

/**
 * @param {object} start
 * @param {import('./store.js').TrainingState} start.state
 * @param {import('../../engine/backend.js').BackendName} start.backend
 * @param {number} start.photographs that are trained on
 * @param {boolean} start.perceptual whether VGG is part of the loss
 */
export function describeStart({ state: { config, settings, step }, backend, photographs, perceptual }) {
  const loss = perceptual ? `MAE + ${settings.vggWeight} · VGG` : 'MAE alone';
  return (
    `Training x${config.scale}, ${config.channels} channels, on ${LABELS[backend]}, from step ${step}, ` +
    `with ${photographs} photographs; loss: ${loss}.`
  );
}

/**
 * @param {Trainer} trainer
 * @param {StepResult} last
 * @param {number} stepTime milliseconds
 * @param {number} psnr of the last samples in dB
 */
export function describeStep(trainer, { mae, perceptual, rate }, stepTime, psnr) {
  const { stepsPerEpoch, epochs } = trainer.settings;
  const vgg = trainer.perceptual ? `, VGG ${perceptual.toPrecision(4)}` : '';
  return (
    `Step ${trainer.step}, epoch ${Math.ceil(trainer.step / stepsPerEpoch)} of ${epochs}: MAE ${mae.toFixed(5)}${vgg}, ` +
    `PSNR ${psnr.toFixed(2)} dB, rate ${rate.toPrecision(3)}, ${(stepTime / 1000).toPrecision(3)} s per step.`
  );
}

/** @param {Trainer} trainer @param {StepResult} result */
export function describeSkipped({ step, streak }, { restored }) {
  const restoring = restored ? ` After ${streak} in a row the averaged weights took over.` : '';
  return `Step ${step} was skipped: its loss or gradient is not a finite number, or the loss leapt.${restoring}`;
}
