// `npm run monolith`: the monolith from source, with restart on change. Ctrl-C stops it and shows how.
import { Serving } from './served-app.ts';

new Serving().app('monolith', process.env, (line) => console.log(line));
