// Validates every object of the YAML files given against the schema of its kind: node validate.mjs FILE...

import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';

const groups = {
  v1: 'kubernetes-models/v1',
  'apps/v1': 'kubernetes-models/apps/v1',
  'policy/v1': 'kubernetes-models/policy/v1',
  'networking.k8s.io/v1': 'kubernetes-models/networking.k8s.io/v1',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
};
if (process.argv.length < 3) {
  console.error('usage: node validate.mjs FILE...');
  process.exit(2);
}
let failed = false;
for (const file of process.argv.slice(2)) {
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'), { merge: true })) {
    const object = document.toJS();
    if (object === null) continue;
    const name = `${file}: ${object.apiVersion} ${object.kind}`;
    try {
      if (document.errors.length > 0) throw document.errors[0];
      const kinds = await import(groups[object.apiVersion] ?? 'unknown-apiVersion');
      if (!kinds[object.kind]) throw new Error('no such kind');
      new kinds[object.kind](object).validate();
      console.log(`${name}: valid`);
    } catch (error) {
      failed = true;
      console.error(`${name}: ${error.message}`);
    }
  }
}
process.exit(failed ? 1 : 0);
