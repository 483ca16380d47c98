//! Tables for the terminal.

/// The first column is a label, the other ones are figures.
pub fn print<const N: usize>(header: [&str; N], mut rows: Vec<[String; N]>) {
    rows.insert(0, header.map(String::from));
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in &rows {
        print!("{:width$}", row[0], width = widths[0]);
        for (text, width) in row.iter().zip(widths).skip(1) {
            print!("  {text:>width$}");
        }
        println!();
    }
}
