/** What the training view says of a network that has become good, or is kept in the browser alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reminder } from '../../web_demo/train/view/reminder.js';

const element = () => /** @type {any} */ ({ hidden: true, textContent: '' });

test('a network that beats bicubic interpolation is praised once a training', () => {
  const reminder = new Reminder(element());
  const at = (step, psnr) => reminder.praise({ step, psnr, bicubic: 30 });
  assert.deepEqual([at(10, 29), at(20, 30.01)], ['', '']);
  assert.equal(at(1234, 30.126), 'Step 1,234: the network beats bicubic interpolation by 0.13 dB.');
  assert.equal(at(1300, 30.5), '');
  reminder.begin();
  assert.equal(at(1400, 31), 'Step 1,400: the network beats bicubic interpolation by 1.00 dB.');
});

test('what was trained since it was saved is to be saved', () => {
  const shown = element();
  const reminder = new Reminder(shown);
  reminder.show(undefined);
  assert.equal(shown.hidden, true);
  reminder.show(10);
  assert.equal(shown.hidden, false);
  assert.match(shown.textContent, /kept in this browser only, which may delete it .* Save Model writes it as files\.$/);
  reminder.saved(10);
  assert.equal(shown.hidden, true);
  reminder.show(11);
  assert.equal(shown.hidden, false);
});
