//! Tile grids: split the work of an operation into tiles.

use core::ops::Range;

/// Units split into nearly equal runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitGrid {
    units: u64,
    tiles: u32,
}

impl UnitGrid {
    /// Creates a grid of `units` with `unit_work` elementary operations each, and about `tile_work` in a tile.
    pub fn new(units: u64, unit_work: u64, tile_work: u64) -> Self {
        let tiles =
            units.saturating_mul(unit_work).div_ceil(tile_work.max(1)).min(units).clamp(1, u32::MAX.into());
        Self { units, tiles: tiles as u32 }
    }

    /// Returns the number of tiles.
    pub fn tiles(&self) -> u32 {
        self.tiles
    }

    /// Returns the units of a tile.
    pub fn units_of(&self, tile: u32) -> Range<u64> {
        let tiles = u64::from(self.tiles);
        let from = |tile: u64| (u128::from(self.units) * u128::from(tile) / u128::from(tiles)) as u64;
        from(tile.into())..from(u64::from(tile) + 1)
    }
}
