/** A whole cloud made by the installed ovn-northd, shared by the benchmarks that need one. */
import { largeShape, applyOpenstackShape, southboundRows } from '#ts/lab/openstack_shape.js';
import { Lab } from '#ts/lab/lab.js';

export interface Cloud {
  readonly lab: Lab;
  readonly projects: number;
  /** The logical flows as JSON text, as ovsdb-server sends them. */
  readonly flowsJson: string;
  readonly flows: number;
  close(): void;
}

export const gateway = 'gw1';

/** One chassis that is gateway of every router, so that all of the cloud is local to it. */
export async function buildCloud(projects: number): Promise<Cloud> {
  const lab = await Lab.start({ chassis: [gateway] });
  try {
    applyOpenstackShape(lab, { ...largeShape, projects, gateways: [gateway] });
    const flowsJson = southboundRows(lab, 'Logical_Flow');
    const flows = (JSON.parse(flowsJson) as unknown[]).length;
    return { lab, projects, flowsJson, flows, close: () => { lab.close(); } };
  } catch (error) {
    lab.close();
    throw error;
  }
}
