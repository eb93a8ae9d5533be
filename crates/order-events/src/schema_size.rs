//! How much one value of a schema may be: a schema that contains itself has values without end, and one whose parts are
//! used again and again has values that are large without any bytes.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::Name;

/// The most parts that a schema may have, each counted as often as it is used. Ours have some thirty.
const MAX_PARTS: usize = 500;

/// Whether values of this schema can be read.
///
/// # Errors
/// It has too many parts.
pub(crate) fn check(schema: &Schema) -> Result<(), String> {
    let mut named = HashMap::new();
    name_parts(schema, &mut named);
    match count(schema, &named, MAX_PARTS) {
        Some(_) => Ok(()),
        None => Err(format!("it contains itself, or has more than {MAX_PARTS} parts")),
    }
}

/// The parts of a schema, without those that it only refers to.
fn parts(schema: &Schema) -> Vec<&Schema> {
    match schema {
        Schema::Record(record) => record.fields.iter().map(|field| &field.schema).collect(),
        Schema::Union(union) => union.variants().iter().collect(),
        Schema::Array(array) => vec![&array.items],
        Schema::Map(map) => vec![&map.types],
        _ => Vec::new(),
    }
}

fn name_parts<'a>(schema: &'a Schema, named: &mut HashMap<&'a Name, &'a Schema>) {
    if let Some(name) = schema.name().filter(|_| !matches!(schema, Schema::Ref { .. })) {
        named.insert(name, schema);
    }
    for part in parts(schema) {
        name_parts(part, named);
    }
}

/// What is left of `budget` when every part is counted; `None` if there are more.
fn count(schema: &Schema, named: &HashMap<&Name, &Schema>, budget: usize) -> Option<usize> {
    let schema = match schema {
        Schema::Ref { name } => named.get(name)?,
        schema => schema,
    };
    parts(schema).into_iter().try_fold(budget.checked_sub(1)?, |left, part| count(part, named, left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrderEvent;
    use crate::codec::AvroRecord;

    /// Each record has the one before it twice.
    fn doubled(times: usize) -> Schema {
        let mut inner = r#""null""#.to_owned();
        for number in 0..times {
            let again = if number == 0 { inner.clone() } else { format!("\"R{}\"", number - 1) };
            inner = format!(
                r#"{{"type":"record","name":"R{number}","fields":[{{"name":"a","type":{inner}}},{{"name":"b","type":{again}}}]}}"#
            );
        }
        Schema::parse_str(&inner).unwrap()
    }

    #[test]
    fn our_schema_is_small() {
        check(OrderEvent::schema()).unwrap();
    }

    #[test]
    fn a_schema_that_contains_itself_is_refused() {
        let list = r#"{"type":"record","name":"List","fields":[{"name":"rest","type":["null","List"]}]}"#;
        check(&Schema::parse_str(list).unwrap()).unwrap_err();
    }

    #[test]
    fn a_schema_that_doubles_is_counted_as_often_as_it_is_used() {
        check(&doubled(7)).unwrap();
        check(&doubled(40)).unwrap_err();
    }
}
