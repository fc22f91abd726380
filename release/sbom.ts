// The bill of materials: what is inside the binary, as CycloneDX JSON, checked against the schema before it is written.
import { Enums, Models, Serialize, SPDX, Spec, Validation } from '@cyclonedx/cyclonedx-library';
import type { Part } from './bundled.ts';

export interface Materials {
  readonly version: string;
  /** npm packages. */
  readonly packages: readonly Part[];
  /** Bun and what it links. */
  readonly runtime: readonly Part[];
}

/** JSON text; without a serial number and a time stamp, so that the same parts give the same bytes. */
export async function sbomOf({ version, packages, runtime }: Materials): Promise<string> {
  const bom = new Models.Bom({
    metadata: new Models.Metadata({
      component: component(Enums.ComponentType.Application, {
        name: 'kache',
        version,
        licence: 'Apache-2.0',
        texts: [],
      }),
    }),
    components: new Models.ComponentRepository([
      ...packages.map((part) => component(Enums.ComponentType.Library, part, purl(part))),
      ...runtime.map((part) => component(Enums.ComponentType.Library, part)),
    ]),
  });
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  const text = `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
  const wrong = await new Validation.JsonStrictValidator(Spec.Spec1dot6.version).validate(text);
  if (wrong !== null) throw new Error(`Cannot write the bill of materials: ${JSON.stringify(wrong)}.`);
  return text;
}

function component(type: Enums.ComponentType, part: Part, reference?: string): Models.Component {
  const { name, version, licence, url } = part;
  return new Models.Component(type, name, {
    bomRef: reference ?? name,
    licenses: new Models.LicenseRepository([
      SPDX.isSupportedSpdxId(licence)
        ? new Models.SpdxLicense(licence)
        : new Models.LicenseExpression(licence),
    ]),
    externalReferences: new Models.ExternalReferenceRepository(
      url === undefined ? [] : [new Models.ExternalReference(url, Enums.ExternalReferenceType.Website)],
    ),
    ...(version === undefined ? {} : { version }),
    ...(reference === undefined ? {} : { purl: reference }),
  });
}

/** `pkg:npm/%40scope/name@1.2.3` */
const purl = ({ name, version }: Part): string => `pkg:npm/${name.replace('@', '%40')}@${version}`;
