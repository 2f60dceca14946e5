// Import cycles between the files of one project (between projects, ESLint's boundaries rule and check.ts find them). An `import type`
// is gone before anything runs, so it closes no cycle.

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-import-cycle',
      comment: 'Files that import each other cannot be read, tested or loaded one at a time: move what both need into a third.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(node_modules|dist)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.spec.json' },
    enhancedResolveOptions: { conditionNames: ['@diptych/source', 'import', 'node', 'default'], exportsFields: ['exports'] },
  },
};
