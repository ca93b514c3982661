/**
 * The page's controller: owns the state, hands work to `span.js`, and lets the modules of `ui/` own the DOM.
 *
 * The training view is mounted when its tab is first opened:
 *
 *     const { mountTraining } = await import('./train/view.js');
 *     const view = await mountTraining(root, {
 *       loadTf,      // (libraries = ['core', 'cpu', 'webgl', 'webgpu', 'layers']) => Promise<tf>, from './tf.js';
 *                    //   works in a page and in a module worker. startBackend(tf, name) of './backend.js' starts one.
 *       loadChart,   // () => Promise<Chart>, Chart.js from './tf.js'
 *       getModel,    // () => Promise<{name: string, artifacts: ModelArtifacts}> the model chosen in the page;
 *                    //   artifacts are TF.js's {modelTopology, weightSpecs, weightData, userDefinedMetadata}
 *       setModel,    // ({name, artifacts}) => Promise<void> makes a trained model the page's model
 *       loadImages,  // (files: Iterable<File>) => Promise<Array<{name, width, height, data: Uint8ClampedArray RGBA}>>
 *       store,       // './store.js': listModels(), loadModel(name), saveModel(name, artifacts), deleteModel(name) keep
 *                    //   artifacts in IndexedDB; get(key), set(key, value), remove(key) keep a training session
 *       announce,    // (text) => void, one sentence for the status line and screen readers
 *       onModelsChanged, // () => void, call it after saveModel or deleteModel: the model picker reads the store again
 *     });
 *     view.show(); view.hide();   // the tab was opened, or another one was
 *
 * Buttons, cards, fields and tables use the classes of `style.css`: `.button`, `.button.primary`, `.card`, `.field`,
 * `.note`, `.figures`. `root` is an empty <section>.
 */
