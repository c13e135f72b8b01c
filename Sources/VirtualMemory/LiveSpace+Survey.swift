import PageTableWalk
import PageTables
import TableMemory

// Dumping a live space (after Linux's ptdump, v6.19, mm/ptdump.c, which holds the lock for writing instead).
//
//   1. Inside a section, load the root once: table and depth of one moment.                       [blockTableFreeing]
//   2. Read each distinct table once, each of its entries with one load. What a table maps is repeated where another entry
//      leads to it as well.
//
// The section has to last for the whole survey and not for a table at a time. What a survey remembers of a table is true only as
// long as the table is not freed, used again or linked elsewhere, and all of these wait for the section
// (`deferTableFree`, `waitBeforeRelinking`).
//
// What other threads do meanwhile is seen or not, entry by entry:
//   - what is mapped in the same way all the time is in the survey, and what never is is not;
//   - of what changes, each page that is in the survey was mapped like that at a moment of the survey, but pages of one range
//     perhaps at different moments. A page that moves may be found at both places, or at none;
//   - a hole of level 1 or above is seen as one, though a table of it may be made meanwhile.

extension LiveSpace {
    /// Reads all tables below a range while other threads map, unmap, split, move and free: what a dump, statistics or an audit
    /// is made of.
    ///
    /// - Parameter holes: Whether what maps nothing is wanted as well, with the level at which a walk ends.
    /// - Complexity: The entries of the distinct tables below the range; tables that are freed wait for all of that.
    @inlinable
    public func survey<Section: ReadWitness & ~Copyable>(
        _ range: VirtualRange = .all, in section: borrowing Section, limits: SurveyLimits = SurveyLimits(),
        holes: Bool = false
    ) throws(Section.Failure) -> Survey {
        try view(in: section).survey(range, in: section, limits: limits, holes: holes)
    }
}
