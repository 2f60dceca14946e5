/**
 * One key as its clients see it: absent, or some value. Every value is written by one operation only, so a value is a number that names
 * the put that wrote it, and an entity tag stands for a value.
 */
export type State = number;

export const ABSENT: State = -1;
/** Some value that nobody has ever seen: whose it was makes no difference to anybody. */
export const UNSEEN: State = -2;

export type Condition =
  | { readonly kind: 'none' }
  | { readonly kind: 'ifAbsent' }
  | { readonly kind: 'ifPresent' }
  /** The key holds this value. */
  | { readonly kind: 'ifValue'; readonly value: number };

export type Action =
  | { readonly kind: 'get' }
  | { readonly kind: 'put'; readonly value: number; readonly condition: Condition }
  | { readonly kind: 'delete'; readonly condition: Condition };

export type Outcome =
  /** Of a get. */
  | { readonly kind: 'saw'; readonly state: State }
  /** Of a put or delete. `existed`: whether the key was there before, if the answer says so. */
  | { readonly kind: 'done'; readonly existed: boolean | undefined }
  /** The condition did not hold. */
  | { readonly kind: 'failed' }
  /** No answer, or one that leaves it open: it may have happened, or happen at any later time, or never. */
  | { readonly kind: 'unknown' };

/** On one key. Times are on one clock. What was refused for certain is no operation. */
export interface Operation {
  readonly action: Action;
  readonly outcome: Outcome;
  readonly calledAt: number;
  /** Without meaning when the outcome is unknown. */
  readonly returnedAt: number;
}

/** Whether the outcome is possible in this state, and what state it leaves; undefined when it is not. */
export function stateAfter(state: State, { action, outcome }: Operation): State | undefined {
  if (outcome.kind === 'unknown') return effectOn(state, action);
  if (action.kind === 'get') return outcome.kind === 'saw' && outcome.state === state ? state : undefined;
  if (outcome.kind === 'failed') return holds(action.condition, state) ? undefined : state;
  if (outcome.kind !== 'done' || !holds(action.condition, state)) return undefined;
  if (outcome.existed !== undefined && outcome.existed !== (state !== ABSENT)) return undefined;
  return action.kind === 'put' ? action.value : ABSENT;
}

/** What an operation does if it happens in this state; undefined when that is nothing. */
function effectOn(state: State, action: Action): State | undefined {
  if (action.kind === 'get' || !holds(action.condition, state)) return undefined;
  return action.kind === 'put' ? action.value : ABSENT;
}

/** Whether it leaves every state as it is. */
export function isReadOnly({ action, outcome }: Operation): boolean {
  return action.kind === 'get' || outcome.kind === 'failed';
}

function holds(condition: Condition, state: State): boolean {
  switch (condition.kind) {
    case 'none':
      return true;
    case 'ifAbsent':
      return state === ABSENT;
    case 'ifPresent':
      return state !== ABSENT;
    case 'ifValue':
      return state === condition.value;
  }
}
