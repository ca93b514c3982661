/** Rules for all JavaScript of the repository; run from its root, as `npm run lint` does. */
import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['**/node_modules/', '**/vendor/', 'web_demo/out/', 'out/', '.venv/', 'build/'] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'array-callback-return': 'error',
      curly: ['error', 'multi-line'],
      eqeqeq: 'error',
      'no-constructor-return': 'error',
      'no-else-return': 'error',
      'no-lonely-if': 'error',
      'no-self-compare': 'error',
      'no-shadow': 'error',
      'no-template-curly-in-string': 'error',
      'no-throw-literal': 'error',
      'no-unneeded-ternary': 'error',
      'no-unreachable-loop': 'error',
      'no-unused-expressions': 'error',
      'no-unused-vars': ['error', { ignoreRestSiblings: true }],
      'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
      'no-useless-rename': 'error',
      'no-useless-return': 'error',
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],
      'prefer-object-has-own': 'error',
      'prefer-promise-reject-errors': 'error',
      'prefer-rest-params': 'error',
      'prefer-spread': 'error',
      'prefer-template': 'error',
    },
  },
  { files: ['web_demo/**/*.js'], languageOptions: { globals: globals.browser } },
  { files: ['web_demo/sw.js'], languageOptions: { globals: globals.serviceworker } },
  { files: ['**/*.mjs'], languageOptions: { globals: globals.node } },
  // Node with the package `webgpu`, which brings what browsers have.
  { files: ['benchmarks/**/*.mjs'], languageOptions: { globals: globals.browser } },
];
