export { isLogCommand, runLogProgram } from '@diptych/log/commands';
