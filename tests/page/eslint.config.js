// Lint rules of the page, its tests, and the scripts that drive a browser. Run it from the root of the repository.

import js from '@eslint/js';
import globals from 'globals';
import { parser, plugin } from 'typescript-eslint';

const everywhere = {
  'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
  'no-implicit-globals': 'error',
  'no-var': 'error',
  'prefer-const': 'error',
  eqeqeq: 'error',
};

export default [
  { ignores: ['viewing/web/vendor/**', '**/node_modules/**'] },
  js.configs.recommended,
  { rules: everywhere },
  {
    // These rules need types, which the page and its tests have.
    files: ['viewing/web/**/*.js', 'tests/page/**/*.js'],
    languageOptions: { parser, parserOptions: { project: ['tests/page/tsconfig.json'], tsconfigRootDir: process.cwd() } },
    plugins: { '@typescript-eslint': plugin },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': ['error', {
        allowForKnownSafeCalls: [{ from: 'package', package: 'node:test', name: 'test' }],
      }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['viewing/web/**/*.js'],
    languageOptions: { globals: { ...globals.browser } },
    rules: {
      'no-console': 'error',
      'no-restricted-properties': ['error', { property: 'outerHTML', message: 'Text of the server must not become HTML.' }],
      'no-restricted-syntax': ['error', {
        selector: 'CallExpression[callee.name="fetch"]',
        message: 'Only lib/api.js talks to the server.',
      }, {
        selector: 'MemberExpression[property.name="innerHTML"]',
        message: 'Only markup() of lib/dom.js makes elements from HTML.',
      }],
    },
  },
  { files: ['viewing/web/lib/api.js', 'viewing/web/lib/dom.js'], rules: { 'no-restricted-syntax': 'off' } },
  { files: ['tests/page/**/*.js'], languageOptions: { globals: { ...globals.node } } },
  { files: ['tests/browser/**/*.mjs'], languageOptions: { globals: { ...globals.node, ...globals.browser, Hls: 'readonly' } } },
];
