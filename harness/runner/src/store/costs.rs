//! Cost rows on disk: one JSON file each, named by id.

use std::fs;
use std::path::PathBuf;

use quantbench_core::CostRow;
use quantbench_core::cost_row::COST_SCHEMA;

use super::rows::files_of;
use super::{BadRow, Fault, Store, StoreError};

impl Store {
    fn cost_path(&self, id: &str) -> PathBuf {
        self.dir.join("costs").join(format!("{id}.json"))
    }

    /// Whether there is a cost row of this id that can be read.
    pub fn has_cost(&self, id: &str) -> bool {
        fs::read(self.cost_path(id)).is_ok_and(|bytes| read(&bytes).is_ok())
    }

    /// Writes a cost row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put_cost(&self, row: &CostRow) -> Result<(), StoreError> {
        let path = self.cost_path(&row.id);
        let mut json = serde_json::to_vec_pretty(row)
            .map_err(|error| StoreError::Write { path: path.clone(), source: error.into() })?;
        json.push(b'\n');
        self.write(&path, &json)
    }

    /// All cost rows of the run folder by file name, and the files that are none.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn costs(&self) -> Result<(Vec<CostRow>, Vec<BadRow>), StoreError> {
        let (mut all, mut bad) = (Vec::new(), Vec::new());
        for file in files_of(&self.dir.join("costs"), ".json")? {
            let bytes = fs::read(&file)
                .map_err(|source| StoreError::Read { path: file.clone(), source })?;
            match read(&bytes) {
                Ok(row) => all.push(row),
                Err(reason) => bad.push(BadRow { file, reason, fault: Fault::Damaged }),
            }
        }
        Ok((all, bad))
    }
}

fn read(bytes: &[u8]) -> Result<CostRow, String> {
    let row: CostRow = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if row.schema == COST_SCHEMA {
        return Ok(row);
    }
    Err(format!("it has schema {}, this version reads {COST_SCHEMA}", row.schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantbench_core::CostKind;
    use quantbench_core::cost_row::CostObserved;

    #[test]
    fn cost_rows_come_back_and_damaged_or_older_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        assert_eq!(store.costs().unwrap(), (Vec::new(), Vec::new()));
        let row = CostRow {
            schema: COST_SCHEMA,
            id: "a".into(),
            artefact: "x".into(),
            model: "m".into(),
            profile: "p".into(),
            kind: CostKind::Modelled,
            by: "systolic".into(),
            result: None,
            reason: Some("no 3-bit weights".into()),
            observed: CostObserved::default(),
        };
        store.put_cost(&row).unwrap();
        store.put_cost(&CostRow { id: "b".into(), schema: 0, ..row.clone() }).unwrap();
        fs::write(store.cost_path("c"), b"{").unwrap();
        let (all, bad) = store.costs().unwrap();
        assert_eq!(all, [row]);
        assert_eq!(bad.len(), 2);
        assert!(bad[0].reason.starts_with("it has schema 0"), "{}", bad[0].reason);
        assert_eq!(
            [store.has_cost("a"), store.has_cost("b"), store.has_cost("c"), store.has_cost("d")],
            [true, false, false, false]
        );
    }
}
