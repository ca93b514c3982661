/** The markup of the training view. */
export const TEMPLATE = `
  <div class="train">
    <section class="card train-head" aria-labelledby="train-title">
      <div class="train-title">
        <h2 id="train-title">Train a network on your photographs</h2>
        <div class="train-actions">
          <button class="button primary" data-do="start" disabled>Start Training</button>
          <button class="button" data-do="stop" disabled>Stop Training</button>
        </div>
      </div>
      <p id="train-state" class="note">Everything stays on this device.</p>
      <input type="file" id="train-model-files" accept=".json,.bin,.safetensors" multiple hidden aria-label="Model files to train on" />
      <progress id="train-progress" max="1" value="0" aria-label="Progress of the training"></progress>
      <dl class="train-figures">
        <div><dt>Step</dt><dd data-figure="step">–</dd></div>
        <div><dt>Epoch</dt><dd data-figure="epoch">–</dd></div>
        <div><dt>Time per step</dt><dd data-figure="stepTime">–</dd></div>
        <div><dt>Time left</dt><dd data-figure="remaining">–</dd></div>
        <div><dt>Loss</dt><dd data-figure="loss">–</dd></div>
        <div><dt>PSNR</dt><dd data-figure="psnr">–</dd></div>
        <div><dt>Backend</dt><dd data-figure="backend">–</dd></div>
        <div><dt>Memory</dt><dd data-figure="memory">–</dd></div>
      </dl>
      <p class="train-problem" id="train-problem" role="alert" hidden></p>
      <div class="train-actions train-model">
        <div class="joined"><button class="button" data-do="save" disabled>Save Model</button>
          <select id="train-format" aria-label="Format of the saved model">
            <option value="tfjs">TensorFlow.js</option>
            <option value="pth">PyTorch (.pth)</option>
            <option value="safetensors">.safetensors</option>
          </select></div>
        <button class="button" data-do="load" disabled>Load Model</button>
        <button class="button" data-do="delete" disabled>Delete Model</button>
        <button class="button" data-do="use" disabled>Upscale with It</button>
      </div>
      <p class="note" id="train-reminder" hidden></p>
    </section>

    <div class="train-setup">
      <section class="card" id="train-photographs" aria-labelledby="train-photographs-title"></section>
      <form class="card" id="train-form" aria-label="Settings" novalidate></form>
    </div>

    <div class="train-results">
      <section class="card train-charts" aria-label="Curves">
        <div class="train-chart"><h3>Loss</h3><div><canvas id="train-loss" role="img" aria-label="Loss by step"></canvas></div></div>
        <div class="train-chart"><h3>Quality and rate</h3><div><canvas id="train-quality" role="img" aria-label="PSNR and learning rate by step"></canvas></div></div>
        <p class="note train-meaning">Loss falls while the network learns. PSNR is the likeness to the original: above the
          line of bicubic, the network beats plain enlarging.</p>
        <p class="note train-empty" id="train-empty">The curves appear when the training starts.</p>
      </section>
      <section class="card" id="train-samples" aria-labelledby="train-samples-title" hidden>
        <div class="train-samples-head">
          <h3 id="train-samples-title">Samples</h3>
          <div class="train-picker" id="train-picker" role="group" aria-label="Which sample"></div>
        </div>
        <div class="train-strip" id="train-strip"></div>
        <p class="note" id="train-samples-note"></p>
      </section>
      <details class="card" open>
        <summary><h3>Log</h3></summary>
        <ol class="train-log" id="train-log" tabindex="0" aria-label="Log"></ol>
      </details>
    </div>

    <dialog id="train-question" aria-labelledby="train-question-text">
      <form method="dialog">
        <p id="train-question-text"></p>
        <div class="dialog-actions">
          <button class="button" value="no">Cancel</button>
          <button class="button" value="other" id="train-question-other" hidden></button>
          <button class="button primary" value="yes" id="train-question-yes"></button>
        </div>
      </form>
    </dialog>
  </div>`;
