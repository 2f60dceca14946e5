/** How an app is served from source: no build, and a restart whenever one of its files or of the libraries' changes. @param {string} app */
export const serveCommand = (app) => [
  'tsx',
  'watch',
  '--clear-screen=false',
  '--tsconfig',
  'tsconfig.base.json',
  '--conditions=@diptych/source',
  `apps/${app}/src/main.ts`,
];
