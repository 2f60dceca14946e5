export * from './gateway.module.js';
export * from './gateway.js';
export * from './register-gateway.js';
export * from './operations.js';
export * from './openapi.js';
export * from './problem.js';
export * from './settings.js';
