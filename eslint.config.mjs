import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';
export default tseslint.config({ ignores: ['**/dist', '**/node_modules', '.nx'] }, ...tseslint.configs.recommended, {
  files: ['**/*.ts'],
  plugins: { '@nx': nx },
  rules: {
    '@nx/enforce-module-boundaries': [
      'error',
      {
        enforceBuildableLibDependency: true,
        allow: [],
        depConstraints: [
          { sourceTag: 'type:lib', onlyDependOnLibsWithTags: ['type:lib'] },
          { sourceTag: 'type:feature', onlyDependOnLibsWithTags: ['type:lib'] },
          { sourceTag: 'type:app', onlyDependOnLibsWithTags: ['type:lib', 'type:feature', 'type:app'] },
          { sourceTag: 'scope:cache', onlyDependOnLibsWithTags: ['scope:cache', 'scope:shared'] },
          { sourceTag: 'scope:log', onlyDependOnLibsWithTags: ['scope:log', 'scope:shared'] },
        ],
      },
    ],
  },
});
