// Checks AsyncAPI documents with the official parser, the Avro schemas in them included.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser';

const parser = new Parser({ schemaParsers: [AvroSchemaParser()] });
for (const path of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(readFileSync(path, 'utf8'));
  const errors = diagnostics.filter(({ severity }) => severity === 0);
  for (const { message, path: place } of errors) console.error(`${path}: ${place.join('/')}: ${message}`);
  if (errors.length > 0 || !document) process.exit(1);
  console.log(`${path}: ${document.channels().length} channels, ${document.allMessages().length} messages`);
}
