/**
 * The page: what is in use lies in `ui/models.js`, the images in `ui/items.js`; here they and the views are wired up.
 * Views are mounted when their tab is first opened. Buttons, cards, fields and tables use the classes of `style.css`:
 * `.button`, `.button.primary`, `.card`, `.field`, `.note`, `.figures`.
 */

import { Choices } from './ui/choices.js';
import { isModel } from './ui/chosen.js';
import { mountIntake } from './ui/intake.js';
import { isolate } from './ui/isolate.js';
import { Items } from './ui/items.js';
import { Models } from './ui/models.js';
import { $, announce, complain } from './ui/page.js';
import { mountSample } from './ui/sample.js';
import { mountTabs } from './ui/tabs.js';

const models = new Models(new URLSearchParams(location.search));
const items = new Items(models, new Choices(models));
/** The view that is shown. */
let shown = 'upscale';

const trainingContext = {
  getName: () => models.model.name,
  getModel: async () => ({ name: models.model.name, artifacts: await models.artifacts() }),
  setModel: (model) => models.load(model, models.backend),
  onModelsChanged: () => settings?.list(),
  announce,
};

/** The dialog, once it was opened. */
let settings;

/** Views and the dialog are loaded when they are first opened. */
const mounts = {
  measure: async () => (await import('./ui/measure.js')).mountMeasure($('measure'), { getSource: () => models.source }),
  train: async () => (await import('./train/view/view.js')).mountTraining($('train'), trainingContext),
  settings: async () => (settings = new (await import('./ui/settings.js')).Settings($('settings'), models)),
};
/** Promises of them; of nothing where one could not be loaded. */
const opened = {};

function open(name) {
  return (opened[name] ??= mounts[name]().catch((error) => {
    delete opened[name]; // so that it can be opened again
    complain(error);
  }));
}

async function showView(view) {
  shown = view;
  if (view === 'train') (await open(view))?.show();
  else {
    if (view === 'measure') open(view);
    (await opened.train)?.hide();
  }
}

/** A model is for the page; images that are dropped or pasted belong to the view that is shown. */
async function takeFiles(files) {
  if (isModel(files)) return models.loadFiles(files);
  if (shown === 'upscale') items.add(files);
  else (await open(shown))?.take(files);
}

models.addEventListener('change', () => settings?.update());
models.addEventListener('choose', () => opened.train?.then((view) => view?.modelChanged(models.model.name)));
$('settings-button').addEventListener('click', async () => (await open('settings'))?.open());
mountIntake($('files'), [$('choose'), $('add')], takeFiles);
mountSample((files) => items.add(files));
mountTabs(showView);
models.start();
if ('serviceWorker' in navigator) {
  isolate(() => $('workspace').hidden); // without images
  addEventListener('load', () => navigator.serviceWorker.register('sw.js').catch(() => {}));
}
