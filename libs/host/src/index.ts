export * from './tokens.js';
export * from './settings.js';
export * from './environment.js';
export * from './nats.module.js';
export * from './http-edge.js';
export * from './problem.js';
export * from './start-app.js';
export * from './run-app.js';
