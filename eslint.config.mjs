import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';
import { constraints, engineBans, testConstraints } from './tools/boundaries/layers.mjs';

const tests = ['**/*.{spec,int-spec,e2e-spec,container-spec,bench,contract}.ts', '**/test/**', '**/src/testing/**', 'e2e/**'];
// Set-up is no package: it is there before packages are.
const setup = '../setup/*';
/** @type {(depConstraints: object[]) => Record<string, ['error', object]>} */
const boundaries = (depConstraints) => ({
  '@nx/enforce-module-boundaries': [
    'error',
    { allow: [setup], enforceBuildableLibDependency: true, banTransitiveDependencies: true, depConstraints },
  ],
});

export default tseslint.config(
  { ignores: ['**/dist', '**/node_modules', '.nx', '.setup', 'results'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts', '**/*.mjs'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.spec.json', tsconfigRootDir: import.meta.dirname } },
    plugins: { '@nx': nx },
    rules: {
      ...boundaries(constraints),
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Ports are promises by contract: a method that happens to have its answer at once stays `async`, so that it never throws instead.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      eqeqeq: 'error',
      'no-console': 'off',
      // A ratchet: what is longer is read in two pieces.
      'max-lines': ['error', { max: 300 }],
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
      'no-restricted-globals': [
        'error',
        { name: 'setInterval', message: 'Nothing ticks without an owner: use the Clock of @diptych/kernel within a Lifetime.' },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'node:timers', message: 'Use the Clock of @diptych/kernel.' },
            { name: 'node:timers/promises', importNames: ['setInterval'], message: 'Use the Clock of @diptych/kernel.' },
          ],
        },
      ],
    },
  },
  {
    files: ['libs/*/src/engine/**/*.ts'],
    ignores: tests,
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: engineBans }] },
  },
  {
    files: tests,
    rules: {
      ...boundaries(testConstraints),
      'max-lines': 'off',
      'max-lines-per-function': 'off',
      // Answers of JSON.parse and of mocks are checked by the expectations that follow.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    // An example names what it shows as its reader will.
    files: ['libs/*/examples/**/*.ts'],
    rules: { '@nx/enforce-module-boundaries': 'off' },
  },
  {
    // Set-up runs before there is a package to import, and JSDoc types carry it only so far.
    files: ['**/*.mjs'],
    rules: {
      'no-restricted-globals': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
