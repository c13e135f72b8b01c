import PageTables
