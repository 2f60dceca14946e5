export * from './log.port.js';
export * from './position-token.js';
export * from './follow.js';
