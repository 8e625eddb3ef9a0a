/**
 * `npm run demo [-- SCENARIO] [--keep] [--json]`: shows a scenario on OVN in this machine's
 * network namespaces. No questions; a line a step; everything removed at the end unless --keep
 * is given; exit code 1 when anything was wrong, 2 for wrong usage. With --json the last line
 * of standard output is one object. `--remove ID` takes away a lab that was kept.
 */
import { parseArgs } from 'node:util';
import { Report } from './demo_report.js';
import { demoOpenstack } from './demo_openstack.js';
import { stateless } from './demo_stateless.js';
import { removeLab } from '../run_dir.js';

export interface DemoOptions { readonly keep: boolean }
export type Scenario = (report: Report, options: DemoOptions) => Promise<void>;

const scenarios: Readonly<Record<string, Scenario>> = {
  stateless, openstack: demoOpenstack,
};

const usage = `usage: npm run demo [-- SCENARIO] [-- --keep] [-- --json] [-- --remove ID]
scenarios: ${Object.keys(scenarios).join(', ')}`;

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        keep: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
        remove: { type: 'string' }, help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return (error as Error).message;
  }
}

async function main(): Promise<number> {
  const parsed = parse();
  if (typeof parsed === 'string') {
    console.error(`${parsed}\n${usage}`);
    return 2;
  }
  const { values, positionals: [name = 'stateless', ...more] } = parsed;
  const scenario = Object.hasOwn(scenarios, name) ? scenarios[name] : undefined;
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (values.remove !== undefined) {
    removeLab(values.remove);
    return 0;
  }
  if (scenario === undefined || more.length > 0) {
    console.error(`no scenario ${[name, ...more].join(' ')}\n${usage}`);
    return 2;
  }
  const report = new Report(name);
  try {
    await scenario(report, { keep: values.keep });
  } catch (error) {
    report.check('the demo ran to its end', false, (error as Error).message);
  }
  report.summary();
  if (values.json) console.log(JSON.stringify(report.result()));
  return report.ok ? 0 : 1;
}

process.exit(await main());
