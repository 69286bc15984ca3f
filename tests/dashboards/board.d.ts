// What a dashboard of ours may be: Grafana's own types of dashboard, panels and their options, put together so that a panel's
// options fit its type, and so that a property that Grafana does not know is an error.

import type * as schema from "@grafana/schema";
import type * as bars from "@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen.js";
import type * as stat from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen.js";
import type * as timeline from "@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen.js";
import type * as table from "@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen.js";
import type * as lines from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen.js";

/** JSON has the value of a string enum where Grafana's types have its member. */
type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends readonly (infer E)[]
      ? Plain<E>[]
      : T extends object
        ? { [K in keyof T]: Plain<T[K]> }
        : T;

interface Source {
  type: "prometheus";
  uid: "${datasource}";
}

/** A query to Prometheus, as Grafana's data source writes it. */
interface Target {
  refId: string;
  datasource: Source;
  editorMode: "code";
  expr: string;
  legendFormat: string;
  format: "time_series" | "table";
  instant: boolean;
  range: boolean;
}

interface DataLink {
  title: string;
  url: string;
  targetBlank: boolean;
}

type Required<T, K extends keyof T> = T & { [P in K]-?: T[P] };

interface PanelOf<Type extends string, Options, Custom> {
  id: number;
  type: Type;
  title: string;
  description: string;
  datasource: Source;
  gridPos: schema.GridPos;
  targets: Target[];
  options: Options;
  transformations?: schema.DataTransformerConfig[];
  fieldConfig: {
    defaults: Omit<Required<schema.FieldConfig, "unit" | "thresholds">, "custom" | "links"> & {
      custom: Partial<Custom>;
      links?: DataLink[];
    };
    overrides: schema.FieldConfigSource["overrides"];
  };
}

type AnyPanel =
  | PanelOf<"stat", stat.Options, {}>
  | PanelOf<"bargauge", bars.Options, {}>
  | PanelOf<"timeseries", lines.Options, lines.FieldConfig>
  | PanelOf<"state-timeline", timeline.Options, timeline.FieldConfig>
  | PanelOf<"table", table.Options, table.FieldConfig>
  | schema.RowPanel;

/** Of annotations, the data source's own properties stand beside Grafana's. */
type Mark = schema.AnnotationQuery & { expr: string; step: string; titleFormat: string; textFormat: string };

export type Board = Plain<
  Omit<schema.Dashboard, "panels" | "annotations"> & { panels: AnyPanel[]; annotations: { list: Mark[] } }
>;
