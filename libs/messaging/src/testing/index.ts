export { describeOverBindings } from './describe-over-bindings.js';
export type { BindingName, Open } from './describe-over-bindings.js';
